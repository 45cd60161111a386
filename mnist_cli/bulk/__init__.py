"""Many pictures: sources are split into shards, and each shard becomes a part of the output, on all cores or on a cluster."""
