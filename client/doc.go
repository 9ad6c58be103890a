// Package client sends events to a millrace server and asks it questions. It
// uses the standard library only, and is millrace's one stable Go API.
//
// Sending is safe to repeat. Every request carries the client's id and a
// sequence number; the server stores each (client, sequence) once, however
// often it arrives. Send itself repeats what failed for a reason that passes.
//
//	c, err := client.New("http://127.0.0.1:8080", client.Options{Source: "shop"})
//	answer, err := c.Send(ctx, 0, []byte(`{"level":"error","message":"timed out"}`+"\n"))
package client
