//! Transactional isolation checker over list-append and rw-register histories.
