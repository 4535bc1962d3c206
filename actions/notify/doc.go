// Package notify tells others what the journal records: chats and webhooks, Loki, and Grafana's annotations.
//
// It follows the journal from a cursor of each receiver's own, beside the actions and never in their way: what
// cannot be passed on now is tried again, also by the next process, until it is too old to be news.
package notify
