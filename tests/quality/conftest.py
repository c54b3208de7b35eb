"""The fixtures of this folder; they and their parts are in htp_quality_stages."""

from htp_quality_stages import staged

__all__ = ["staged"]
