"""Who may be believed: keys, the pilot authority, the trust store of pinned anchors and CRLs, and signatures. Only here: cryptography."""
