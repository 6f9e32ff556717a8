"""What an operator or a site asks of a running streamrec: each takes the parts it needs."""
