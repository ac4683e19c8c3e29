package parts

import (
	"hash"
	"hash/crc64"
)

// polynomial of CRC-64/NVME, its bits reversed: S3's default checksum.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
const polynomial = 0x9a6c9329ac4bc9b5

var table = crc64.MakeTable(polynomial)

// NewCRC64 computes the CRC-64/NVME of what is written to it.
func NewCRC64() hash.Hash64 { return crc64.New(table) }

// Joined is the CRC-64/NVME of two texts one after the other, of which each has
// its own; the second has so many bytes.
func Joined(first, second uint64, secondLength int64) uint64 {
	// The first text's remainder is moved up by the bits of the second.
	return times(power(8*secondLength), first) ^ second
}

// The polynomials over GF(2) are held with their bits reversed: that of the
// highest degree that fits, 63, is the lowest bit.
const one = 1 << 63

// power is x to the n, modulo the polynomial.
func power(n int64) uint64 {
	result, square := uint64(one), uint64(one>>1)
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			result = times(result, square)
		}
		square = times(square, square)
	}
	return result
}

// times is a times b, modulo the polynomial.
func times(a, b uint64) uint64 {
	var product uint64
	for ; a != 0; a <<= 1 {
		if a&one != 0 {
			product ^= b
		}
		if b&1 == 1 {
			b = b>>1 ^ polynomial
		} else {
			b >>= 1
		}
	}
	return product
}
