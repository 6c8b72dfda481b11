"""What people call on a model, in NumPy: shared by Keras and other runtimes."""
