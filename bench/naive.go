package main

import (
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
)

// Clients that write the end of a message by itself and let the kernel hold it back until what came before has been
// acknowledged. A server that lets them wait for the delayed acknowledgement gets some twenty messages a second.

// luaSender sends 1 KB messages over one session with LuaSocket's smtp for as long as it is told, and prints the rate.
const luaSender = `
local socket, smtp = require "socket", require "socket.smtp"
local host, port, seconds = arg[1], tonumber(arg[2]), tonumber(arg[3])
local body = string.rep(string.rep("x", 70) .. "\r\n", 14)
local s = smtp.open(host, port)
s:greet("bench.example")
local begin, n = socket.gettime(), 0
while socket.gettime() - begin < seconds do
	s:send{from = "<a@example.com>", rcpt = "<b@example.net>", source = smtp.message{headers = {subject = "x"}, body = body}}
	n = n + 1
end
print(n / (socket.gettime() - begin))
`

func measureNaive(e effort) (table, error) {
	lua, ok := program("lua5.4")
	if !ok || exec.Command(lua, "-e", `require "socket.smtp"`).Run() != nil {
		return table{{what: "1 KB, persistent", unit: "messages/s", note: "LuaSocket is not installed"}}, nil
	}
	sent := func(s starter) contender {
		return contender{s.name, func() (figure, error) {
			p, err := s.start()
			if err != nil {
				return figure{}, err
			}
			defer p.stop()
			host, port, err := net.SplitHostPort(p.addr)
			if err != nil {
				return figure{}, err
			}
			before := p.cpu()
			cmd := exec.Command(lua, "-", host, port, strconv.FormatFloat(e.time.Seconds(), 'f', 2, 64))
			cmd.Stdin = strings.NewReader(luaSender)
			out, err := cmd.Output()
			if err != nil {
				return figure{}, fmt.Errorf("LuaSocket: %w", err)
			}
			rate, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
			used := p.cpu() - before
			return figure{rate, float64(used.Microseconds()) / (rate * e.time.Seconds())}, err
		}}
	}
	r, err := duel(e, "1 KB, persistent", "messages/s", sent(e.sink()), peer{sent(goSMTPServer), 50, false})
	return table{r}, err
}
