"""A search for hyperparameters: trials in processes here or on a cluster, judged on held-out training images."""
