"""The dashboard: one page that answers at a glance, and pages to look closer and to act."""
