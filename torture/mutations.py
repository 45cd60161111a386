"""Random corruption of files: flipped bits, truncation, extreme numbers, removed and duplicated parts."""

import random

EXTREMES = (
    b"\x00" * 4,
    b"\xff" * 4,
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x80\x00\x00\x00",
    b"\x00\x00\xff\xff",
)


def mutate(content: bytes, generator: random.Random) -> bytes:
    """Return `content` with one to eight random mutations."""
    damaged = bytearray(content)
    for _ in range(generator.choice((1, 1, 1, 2, 3, 8))):
        if not damaged:
            break
        # Headers are at the beginning, and errors in them are the most dangerous.
        end = len(damaged) if generator.random() < 0.5 else min(len(damaged), 200)
        place = generator.randrange(end)
        match generator.randrange(7):
            case 0:
                damaged[place] ^= 1 << generator.randrange(8)
            case 1:
                damaged[place] = generator.randrange(256)
            case 2:
                damaged[place : place + 4] = generator.choice(EXTREMES)
            case 3:
                damaged[place : place + 2] = generator.choice(EXTREMES)[:2]
            case 4:
                del damaged[generator.randrange(len(damaged)) :]
            case 5:
                del damaged[place : place + generator.randrange(1, 64)]
            case 6:
                other = generator.randrange(len(damaged))
                damaged[place:place] = damaged[other : other + generator.randrange(1, 256)]
    return bytes(damaged)
