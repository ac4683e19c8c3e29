package main

import "time"

// What AWS promises and charges, in us-east-1, as of November 2026. The figures
// that are not published are marked as such, and are on the careful side.
const (
	// pageKeys is what one LIST request answers at most, in listFastest to
	// listSlowest (not published). Both sides are asked at the same time, one
	// page ahead.
	pageKeys    = 1000
	listFastest = 80 * time.Millisecond
	listSlowest = 100 * time.Millisecond
	// listRate per second is promised for one partitioned prefix. S3 makes more
	// partitions where the load stays; here each side is only one.
	// https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html
	listRate = 5500
	listUSD  = 5.0 / 1e6

	// decoding both sides' pages takes this much of a worker's one CPU (measured).
	decoding = 28 * time.Millisecond
	// memory of a worker in GB, which makes that one CPU.
	memory = 1769.0 / 1024
	// timeout is Lambda's longest; what is read by then minus reserve is saved,
	// and the rest is put back.
	timeout = 15 * time.Minute
	reserve = 90 * time.Second
	// coldStart of the function (not published; measured as about half of it).
	coldStart   = 500 * time.Millisecond
	invokeUSD   = 0.20 / 1e6
	gbSecondUSD = 0.0000133334

	// An SQS queue begins with firstPollers invocations at the same time, and
	// adds morePollers a second (300 a minute) while messages wait.
	// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
	firstPollers = 5
	morePollers  = 5.0
	// delivery of a message (not published). Each costs three requests.
	delivery = 100 * time.Millisecond
	sqsUSD   = 0.40 / 1e6

	// A partition takes writeRate writes of 1 KB a second, a transaction counts
	// twice, and everything of a rule's runs is in one partition.
	// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
	writeRate = 1000
	writeUSD  = 0.625 / 1e6
	readUSD   = 0.125 / 1e6
	// call is what one request to DynamoDB takes (not published).
	call = 10 * time.Millisecond
)
