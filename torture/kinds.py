"""All kinds of trials, in the order of the table."""

from torture import Kind, pictures

KINDS = [
    Kind("damaged pictures", pictures.damaged, whole=10_000, share=150),
    Kind("enormous, lying and false pictures", pictures.odd, whole=1_000, share=10),
    Kind("folders, pipes and devices as pictures", pictures.places, whole=1_000, share=1_000),
]
