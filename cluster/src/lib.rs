//! Hosts: SSH, the local lab of namespaced hosts, the agent.
