// Package tokens says how many tokens a text or a request has for a model,
// without asking anybody: limits reserve by it before a call, and what an
// endpoint did not report is charged by it.
//
// The count of a text is exact for the models of the table: the vocabularies
// are embedded and the result equals that of tiktoken, except that the tokens
// reserved for control, such as <|endoftext|>, are ordinary text here, as they
// are to the service when a caller writes them. What a chat request adds to
// its texts follows the published rules where there are any, which call
// themselves estimates.
//
// Callers are strangers, so the work is bounded by the length of the input
// whatever it holds, and ordinary text needs no memory.
package tokens
