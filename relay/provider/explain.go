package provider

import (
	"backstamp/mail"
	"backstamp/relay/provider/catalogue"
)

// explain names the explanation of a topic: a reply class, or a way in which
// things go wrong without a reply. Its words are in the catalogue.
func explain(topic, class string) *mail.Explain {
	id := "generic." + topic
	if _, ok := catalogue.Find(id, "en"); !ok {
		id = "generic.temporary"
	}
	return &mail.Explain{ID: id, Class: class}
}
