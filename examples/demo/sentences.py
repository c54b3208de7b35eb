"""Sentences of daily work, written for this demo: some to calibrate quantization on, others to measure it by."""

CALIBRATION = """
The train to the coast leaves at nine and is rarely late.
She repaired the old radio with parts from a broken clock.
Our invoices are due within thirty days of delivery.
Why does the build fail only on the second machine?
A light rain fell while the market was being set up.
The committee postponed the vote until all members had read the report.
Please keep the receipt, since we can't exchange it without one.
Two of the bridges over the river are closed for repairs.
He learned to bake bread during a long winter.
The library opens an hour later on Saturdays.
How much water does a tomato plant need in summer?
The contract ends in March unless either side renews it.
Nobody expected the small team to win the final.
Warm the milk slowly, or it will burn at the bottom.
The sensor reports the temperature every ten seconds.
They moved the piano with four people and a lot of patience.
""".strip().splitlines()

MEASURED = """
Is there a later train on Sundays?
The radio works again, although the display stays dark.
We have not received the payment for your last order.
The tests pass on my computer and fail on the server.
It stopped raining just before the shops opened.
The meeting about the report has been moved to Friday.
Bread needs little more than flour, water, salt and time.
The bridge will be open again by the end of the month.
""".strip().splitlines()
