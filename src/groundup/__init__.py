"""groundup: from a folder of documents to your own aligned language model."""

__version__ = "0.1.0"
