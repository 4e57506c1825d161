"""What changes a model: operations, how they are verified and taken back, and their log."""
