"""What is read by spans of days: orders, work orders; and equipment."""
