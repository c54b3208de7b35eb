"""With this file pytest puts its folder on ``sys.path``: tests of every area can import ``htp_examples``."""
