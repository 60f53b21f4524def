"""Which movement of MPservices did our own stock patch make?"""
