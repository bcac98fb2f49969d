"""What the model server does with a model that brings no code: one file for each framework.

base       what a framework's plug has to be able to do
select     which plug loads an artifact, and which predicts with a model
sklearn    scikit-learn: a pickled object with a `predict`

Which files of an artifact are a framework's models is in `contract`: `model lint` says it too.
"""
