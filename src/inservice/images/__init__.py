"""What containers are made from: which image a name means, and the Pythons that stand in for it.

base        the values: what an image is found to be, and what is asked of who finds out
resolve     which image a name means; reference takes names apart, families reads catalogue/
added       the images that users have added
host        what there is of each on this host, for whoever asks
met         whether the server's own Python has what an image asks for
"""
