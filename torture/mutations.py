"""Damage of the kinds that files have: flipped bits, cut ends, numbers that lie, pieces in the wrong place."""

import random

LIES = (b"\x00" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x80\x00\x00\x00", b"\x00\x00\xff\xff")


def mutate(content: bytes, generator: random.Random) -> bytes:
    """Return `content` damaged in one to eight ways."""
    damaged = bytearray(content)
    for _ in range(generator.choice((1, 1, 1, 2, 3, 8))):
        if not damaged:
            break
        # Headers are at the beginning, and what a header says is where most can go wrong.
        end = len(damaged) if generator.random() < 0.5 else min(len(damaged), 200)
        place = generator.randrange(end)
        match generator.randrange(7):
            case 0:
                damaged[place] ^= 1 << generator.randrange(8)
            case 1:
                damaged[place] = generator.randrange(256)
            case 2:
                damaged[place : place + 4] = generator.choice(LIES)
            case 3:
                damaged[place : place + 2] = generator.choice(LIES)[:2]
            case 4:
                del damaged[generator.randrange(len(damaged)) :]
            case 5:
                del damaged[place : place + generator.randrange(1, 64)]
            case 6:
                other = generator.randrange(len(damaged))
                damaged[place:place] = damaged[other : other + generator.randrange(1, 256)]
    return bytes(damaged)
