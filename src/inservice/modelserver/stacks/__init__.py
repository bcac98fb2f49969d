"""Servers that several families of AWS's containers have in common: a plug says the rest.

flask      gunicorn and Flask, as PyPI's `sagemaker-containers` puts them together
toolkit    PyPI's `sagemaker-inference` in a model server of Java's: what it answers to errors
"""
