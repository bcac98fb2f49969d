"""How containers of the families behave around the user's handlers: one file, or one package, for
each framework.

base       what a framework's plug can say; what it does of itself is a container of no family
select     which plug an instance gets: by its image, by the artifact's files, or by the model
sklearn    scikit-learn: a pickled object with a `predict`; AWS's container
xgboost    XGBoost: AWS's container, with a program and without
lightgbm   LightGBM
onnx       ONNX Runtime
mlflow     MLflow: a model of any flavour, as its scoring server answers

Which files of an artifact are a framework's models is in `contract`: `model lint` says it too.
"""
