"""Image retrieval: universal embeddings, tested on classes unseen in training."""
