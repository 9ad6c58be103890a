//go:build race

package pipeline

// raceDetector says that everything takes eight times as long.
const raceDetector = true
