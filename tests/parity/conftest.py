"""The fixture of this folder; its parts are in htp_prepared."""

from htp_prepared import prepared

__all__ = ["prepared"]
