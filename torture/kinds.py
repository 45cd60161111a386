"""All kinds of trials, in the order of the table."""

from torture import Kind, pictures, strangers

KINDS = [
    Kind("damaged pictures", pictures.damaged, whole=10_000, share=150),
    Kind("enormous, lying and false pictures", pictures.odd, whole=1_000, share=10),
    Kind("folders, pipes and devices as pictures", pictures.places, whole=1_000, share=1_000),
    Kind("damaged checkpoints", strangers.damaged, whole=3_000, share=60),
    Kind("checkpoints with a wrong value", strangers.changed, whole=3_000, share=100),
    Kind("checkpoints with code, bombs and devices", strangers.planted, whole=1_000, share=20),
    Kind("damaged IDX files", strangers.damaged_idx, whole=5_000, share=200),
    Kind("damaged configurations", strangers.damaged_toml, whole=5_000, share=200),
]
