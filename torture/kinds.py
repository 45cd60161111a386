"""All kinds of trials, in the order of the table."""

from torture import Kind, faults, kills, network, options, pictures, strangers

KINDS = [
    Kind("kills while training", kills.training, whole=30, share=1),
    Kind("kills while saving", kills.saving, whole=30, share=3),
    Kind("kills while downloading", kills.downloads, whole=30, share=3),
    Kind("kills while unpacking", kills.unpacking, whole=20, share=1),
    Kind("kills while writing a report", kills.reports, whole=20, share=1),
    Kind("signals", faults.signals, whole=10, share=1),
    Kind("disks", faults.disks, whole=1_000, share=3),
    Kind("hostile mirrors", network.hostile, whole=1_000, share=12),
    Kind("rivals", faults.rivals, whole=4, share=1),
    Kind("odd surroundings", faults.surroundings, whole=1_000, share=4),
    Kind("combinations of options", options.combinations, whole=100, share=4),
    Kind("damaged pictures", pictures.damaged, whole=10_000, share=150),
    Kind("enormous, lying and false pictures", pictures.odd, whole=1_000, share=10),
    Kind("folders, pipes and devices as pictures", pictures.places, whole=1_000, share=1_000),
    Kind("damaged checkpoints", strangers.damaged, whole=3_000, share=60),
    Kind("checkpoints with a wrong value", strangers.changed, whole=3_000, share=100),
    Kind("checkpoints with code, bombs and devices", strangers.planted, whole=1_000, share=20),
    Kind("damaged IDX files", strangers.damaged_idx, whole=5_000, share=200),
    Kind("damaged configurations", strangers.damaged_toml, whole=5_000, share=200),
]
