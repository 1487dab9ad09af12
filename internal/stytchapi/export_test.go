package stytchapi

var ReadAnswer = readAnswer
