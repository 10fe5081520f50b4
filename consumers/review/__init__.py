"""What people see of held and parked, and decide about it: groups, dry runs, orders with frozen sets, and what became of each item."""
