"""What makes the audit log tamper-evident: hash chains, outside anchors, and their check."""
