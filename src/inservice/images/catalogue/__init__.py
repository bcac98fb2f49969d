"""The families of images that are known, a TOML file for each: to add one is to add its file.

A file says in `runs` what becomes of an image of the family:

    environment    a Python stands in for it: `requirements`, what is imported before instances are
                   forked (`preimports`), which plug of the model server serves it (`framework`),
                   what the image sets (`[variables]`); `[[tags]]` with other requirements for the
                   tags that match, the first that does
    engine         nothing here stands in for it, `why` says so; a container engine may run it
    nowhere        it does not serve, or not on any host of its users: `why`, and what would `help`

`repositories` are the names that AWS has it under, in any account and region; `names` those that
people may use for it here. Either may have `*` in them.
"""
