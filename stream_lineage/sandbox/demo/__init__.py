"""The demo: a click-stream that a team would recognise, a fault planted in it, and what is found of it.

The pipeline is plain Kafka. Of ``stream_lineage`` its jobs know the SDK's clients alone, which write down what a record
was made from.

    crm-sync ────> customers ─┐
                              ├─> feature-builder ──> features ──> purchase-scorer ──> predictions
    web-tracker ─> clicks ────┘
"""
