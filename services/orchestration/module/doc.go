// Package module is what the modules of routing scripts have in common: how the elements of a namespace become actions, how an
// action becomes a request, and which events answer it. The modules themselves are the packages below this one; package all lists them.
//
// An action never does anything by itself. It evaluates its attributes, makes a [Request] of them, which is plain data, and gives it
// to the [Host] that owns the session. The host of a running session keeps it with the session and then asks doors; the host of a
// dry run answers by a list. So what scripts may write is known in one place, and who answers is somebody else's matter.
//
// Attributes are ECMAScript expressions, so texts are quoted twice: type="'music'". requestid is a location that receives
// the id of the request. The answer is an event MODULE.ACTION.done or error.MODULE.ACTION, whose data has that id; some are announced
// by MODULE.ACTION.requestid before, when they were accepted. What cannot be asked for at all (a missing attribute that the
// document could not tell, a target nobody could mean) is an error of the same name at once; an expression that throws is error.execution.
//
// Nothing here has state or goroutines. Limits: those of package scxml.
package module
