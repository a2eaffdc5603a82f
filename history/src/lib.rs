//! The vocabulary: operations, their file format, the columnar in-memory form.
