"""From the outbox to the broker and back: bundles out within the credit window, receipts and beacons home."""
