// Package exception reads stack traces: the type, message, frames and causes of
// an exception out of the text that a runtime printed, the fingerprint by which
// equal exceptions are counted, and the form in which frames are stored.
//
// Parse knows the traces of Java (Kotlin, Scala, …), Python, Go, JavaScript (V8,
// Firefox, Safari), .NET, PHP, Ruby and Dart. It works on the text alone: equal
// texts give equal results, which replay relies on.
package exception
