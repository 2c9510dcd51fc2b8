//! Black-box tests, one module per behaviour or stock client. Every test starts its own gateway.

