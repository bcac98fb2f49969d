"""`inservice <service> <operation>`: AWS's operations, as AWS CLI version 2 has them.

Everything here is grown from botocore's service models: the names, the options, the types, the help
pages, the skeletons, the waiters. Nothing here knows what InService is; the same commands work
against AWS.

    driver      one command line, from its words to its exit code
    parsing     argparse with the AWS CLI's words for what is wrong
    globals     the options that every command has
    options     the options of one operation, from its input shape
    values      words of the command line into parameters: JSON, files, blobs, numbers
    shorthand   the little language `Key=a,Value=b`
    session     botocore, with the AWS CLI's configuration and fast model loading
    output      json, yaml, yaml-stream; text and table have files of their own
"""
