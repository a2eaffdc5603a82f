//! Verdicts to HTML and plots.
