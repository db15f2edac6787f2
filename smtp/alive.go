package smtp

import "time"

// alive looks whether the server has closed the connection or said something unasked,
// such as 421. Both mean that it is of no more use. That costs no round trip, as NOOP
// would, and is surer: what it saw is true now, not a round trip ago. A connection with
// something under way is alive until its replies say otherwise.
func (c *Client) alive() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.reading || c.live > 0 {
		return c.err == nil
	}
	if c.rd.Buffered() > 0 {
		return false
	}
	if _, ok := c.conn.(*stream); ok {
		return true // it cannot be asked: a read would wait
	}
	if quiet, sure := peek(c.conn); sure {
		return quiet
	}
	c.reading, c.until = true, time.Now().Add(time.Millisecond)
	c.mu.Unlock()
	err := c.rd.Fill()
	c.mu.Lock()
	c.reading = false
	if c.first < len(c.owed) { // somebody has begun meanwhile
		c.reading = true
		go c.listen()
		return true
	}
	return isTimeout(err)
}
