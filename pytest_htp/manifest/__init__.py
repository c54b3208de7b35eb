"""Tests without code: ``*.htp.toml`` files, each ``[export.NAME]`` table is a test item, or several.

``parse`` reads and checks a manifest without torch, ``items`` are what pytest collects, ``models`` finds what
``model`` names, ``first`` writes a first manifest for ``htp init``.
"""
