"""WCO Data Model declarations: their outline, table and the format."""
