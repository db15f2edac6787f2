-- Sends each FILE with LuaSocket: send_luasocket.lua ADDR CAFILE|- FROM TO,TO FILE...
-- With a CAFILE the connection is TLS from its first octet, by LuaSec: LuaSocket knows no STARTTLS. With MAIL_USER in
-- the environment it authenticates as that with MAIL_PASSWORD.
local socket = require "socket"
local smtp = require "socket.smtp"
local ltn12 = require "ltn12"

local host, port = arg[1]:match("^(.*):(%d+)$")
local ca, from = arg[2], "<" .. arg[3] .. ">"
local rcpt = {}
for to in arg[4]:gmatch("[^,]+") do rcpt[#rcpt + 1] = "<" .. to .. ">" end

-- create returns what LuaSocket takes for a socket: connected in clear, then wrapped.
local function create()
	local ssl = require "ssl"
	local conn = {sock = assert(socket.tcp())}
	function conn:connect(h, p)
		assert(self.sock:connect(h, p))
		self.sock = assert(ssl.wrap(self.sock, {mode = "client", protocol = "any", cafile = ca, verify = "peer", options = "all"}))
		self.sock:settimeout(60)
		assert(self.sock:dohandshake())
		return 1
	end
	return setmetatable(conn, {__index = function(_, name)
		return function(self, ...) return self.sock[name](self.sock, ...) end
	end})
end

for i = 5, #arg do
	local f = assert(io.open(arg[i], "rb"))
	assert(smtp.send {
		server = host, port = tonumber(port), from = from, user = os.getenv("MAIL_USER"), password = os.getenv("MAIL_PASSWORD"),
		rcpt = rcpt,
		source = ltn12.source.string(f:read("a")),
		create = ca ~= "-" and create or nil,
	})
	f:close()
end
