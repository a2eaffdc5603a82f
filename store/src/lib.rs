//! The bundled replicated store: sans-IO core, node binary, client, simulator.
