"""Image retrieval: embeddings for classes that were never trained on, and how to score them."""
